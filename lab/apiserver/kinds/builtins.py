"""The built-in resources that the server serves: a table of names, scope, verbs and subresources.

What a kind does in its own way (defaults, validation) is in the module of the kind.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.apiserver.resource import ALL_VERBS, Resource, Subresource


def _status(kind: str) -> Subresource:
    return Subresource("status", kind)


def _scale() -> Subresource:
    return Subresource("scale", "Scale", group="autoscaling", version="v1")


def _builtin(
    group_version: str,
    plural: str,
    kind: str,
    *,
    namespaced: bool = True,
    singular: str | None = None,
    short: Iterable[str] = (),
    categories: Iterable[str] = (),
    verbs: tuple[str, ...] = ALL_VERBS,
    status: bool = False,
    subresources: Iterable[Subresource] = (),
    storage: str = "",
    field_labels: Iterable[str] = (),
) -> Resource:
    group, _, version = group_version.rpartition("/")
    return Resource(
        group=group,
        version=version,
        plural=plural,
        singular=kind.lower() if singular is None else singular,
        kind=kind,
        namespaced=namespaced,
        short_names=tuple(short),
        categories=tuple(categories),
        verbs=verbs,
        subresources=(*subresources, *((_status(kind),) if status else ())),
        storage=storage,
        field_labels=frozenset(field_labels),
    )


_TOKEN = Subresource("token", "TokenRequest", ("create",), group="authentication.k8s.io", version="v1")
_OF_PODS = (
    Subresource("attach", "PodAttachOptions", ("create", "get")),
    Subresource("exec", "PodExecOptions", ("create", "get")),
    Subresource("log", "Pod", ("get",)),
    Subresource("portforward", "PodPortForwardOptions", ("create", "get")),
)
_EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_REVIEW = ("create",)
_ALL = ("all",)
_EXTENSIONS = ("api-extensions",)

BUILTINS: tuple[Resource, ...] = (
    _builtin("v1", "configmaps", "ConfigMap", short=("cm",)),
    _builtin("v1", "endpoints", "Endpoints", singular="endpoints", short=("ep",)),
    _builtin("v1", "events", "Event", short=("ev",), field_labels=_EVENT_FIELDS),
    _builtin(
        "v1",
        "namespaces",
        "Namespace",
        namespaced=False,
        short=("ns",),
        verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
        status=True,
        subresources=(Subresource("finalize", "Namespace", ("update",)),),
        field_labels=("status.phase",),
    ),
    _builtin("v1", "nodes", "Node", namespaced=False, short=("no",), status=True, field_labels=("spec.unschedulable",)),
    _builtin(
        "v1",
        "pods",
        "Pod",
        short=("po",),
        categories=_ALL,
        status=True,
        subresources=_OF_PODS,
        field_labels=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
    ),
    _builtin("v1", "secrets", "Secret", field_labels=("type",)),
    _builtin("v1", "serviceaccounts", "ServiceAccount", short=("sa",), subresources=(_TOKEN,)),
    _builtin(
        "v1",
        "services",
        "Service",
        short=("svc",),
        categories=_ALL,
        status=True,
        field_labels=("spec.clusterIP", "spec.type"),
    ),
    _builtin(
        "apiextensions.k8s.io/v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
        short=("crd", "crds"),
        categories=_EXTENSIONS,
        status=True,
    ),
    _builtin("apps/v1", "controllerrevisions", "ControllerRevision"),
    _builtin("apps/v1", "daemonsets", "DaemonSet", short=("ds",), categories=_ALL, status=True),
    _builtin(
        "apps/v1",
        "deployments",
        "Deployment",
        short=("deploy",),
        categories=_ALL,
        status=True,
        subresources=(_scale(),),
    ),
    _builtin(
        "apps/v1", "replicasets", "ReplicaSet", short=("rs",), categories=_ALL, status=True, subresources=(_scale(),)
    ),
    _builtin(
        "apps/v1", "statefulsets", "StatefulSet", short=("sts",), categories=_ALL, status=True, subresources=(_scale(),)
    ),
    _builtin("events.k8s.io/v1", "events", "Event", short=("ev",), storage="events", field_labels=_EVENT_FIELDS),
    _builtin("authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False, verbs=_REVIEW),
    _builtin("authentication.k8s.io/v1", "tokenreviews", "TokenReview", namespaced=False, verbs=_REVIEW),
    _builtin("authorization.k8s.io/v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=_REVIEW),
    _builtin(
        "authorization.k8s.io/v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
        verbs=_REVIEW,
    ),
    _builtin(
        "authorization.k8s.io/v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False, verbs=_REVIEW
    ),
    _builtin("authorization.k8s.io/v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False, verbs=_REVIEW),
    _builtin("batch/v1", "jobs", "Job", categories=_ALL, status=True),
    _builtin("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", short=("netpol",)),
    _builtin("networking.k8s.io/v1", "ingresses", "Ingress", short=("ing",), status=True),
    _builtin("networking.k8s.io/v1", "servicecidrs", "ServiceCIDR", namespaced=False, status=True),
    _builtin("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", short=("pdb",), status=True),
    _builtin("rbac.authorization.k8s.io/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    _builtin("rbac.authorization.k8s.io/v1", "clusterroles", "ClusterRole", namespaced=False),
    _builtin("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding"),
    _builtin("rbac.authorization.k8s.io/v1", "roles", "Role"),
    _builtin(
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicies",
        "ValidatingAdmissionPolicy",
        namespaced=False,
        categories=_EXTENSIONS,
        status=True,
    ),
    _builtin(
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
        namespaced=False,
        categories=_EXTENSIONS,
    ),
    _builtin("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass", namespaced=False, short=("pc",)),
    _builtin("coordination.k8s.io/v1", "leases", "Lease"),
    _builtin("discovery.k8s.io/v1", "endpointslices", "EndpointSlice"),
)
