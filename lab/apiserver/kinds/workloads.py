"""Pods and what makes them (Deployments, DaemonSets, …): stored with their defaults, never run.

There is no scheduler and no controller here: clients create pods, and write their status, by hand.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver import fielderrors
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds.behaviour import Behaviour, Moment, restore
from lab.apiserver.selectors import labels_of_selector

Json = dict[str, Any]
PROGRESS_SECONDS = 600
REVISION_HISTORY = 10
GRACE_SECONDS = 30


def default_pod_spec(spec: Json) -> None:
    """The defaults that show up in every pod template."""
    for key, value in (
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", GRACE_SECONDS),
        ("dnsPolicy", "ClusterFirst"),
        ("securityContext", {}),
        ("schedulerName", "default-scheduler"),
    ):
        spec.setdefault(key, value)
    if name := spec.get("serviceAccountName"):
        spec.setdefault("serviceAccount", name)
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        image = container.get("image", "")
        latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for port in container.get("ports") or ():
            port.setdefault("protocol", "TCP")
            if spec.get("hostNetwork"):
                port.setdefault("hostPort", port.get("containerPort"))
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            _default_probe(container.get(probe))
        for variable in container.get("env") or ():
            if field := (variable.get("valueFrom") or {}).get("fieldRef"):
                field.setdefault("apiVersion", "v1")


def _default_probe(probe: Json | None) -> None:
    if probe is None:
        return
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        probe.setdefault(key, value)
    if http := probe.get("httpGet"):
        http.setdefault("scheme", "HTTP")
        http.setdefault("path", "/")


class Pods(Behaviour):
    """Pod objects: pending until a client writes their status."""

    has_generation = True
    has_status = True
    returns_deleted_object = True

    def default(self, obj: Json) -> None:
        default_pod_spec(obj.setdefault("spec", {}))

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        obj["spec"].setdefault("serviceAccountName", "default")
        obj["spec"].setdefault("enableServiceLinks", True)
        obj["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")
        obj["spec"].setdefault("priority", 0)
        obj["status"] = {"phase": "Pending", "qosClass": "BestEffort"}

    def validate(self, obj: Json) -> list[FieldError]:
        return [] if obj["spec"].get("containers") else [fielderrors.required("spec.containers")]


class PodMakers(Behaviour):
    """Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs."""

    has_generation = True
    has_status = True

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        template = spec.setdefault("template", {})
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))
        if self._kind in ("Deployment", "ReplicaSet", "StatefulSet"):
            spec.setdefault("replicas", 1)
        if self._kind in ("Deployment", "StatefulSet", "DaemonSet"):
            spec.setdefault("revisionHistoryLimit", REVISION_HISTORY)
        match self._kind:
            case "Deployment":
                strategy = spec.setdefault("strategy", {})
                if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
                    rolling = strategy.setdefault("rollingUpdate", {})
                    rolling.setdefault("maxUnavailable", "25%")
                    rolling.setdefault("maxSurge", "25%")
                spec.setdefault("progressDeadlineSeconds", PROGRESS_SECONDS)
            case "DaemonSet":
                strategy = spec.setdefault("updateStrategy", {})
                if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
                    rolling = strategy.setdefault("rollingUpdate", {})
                    rolling.setdefault("maxUnavailable", 1)
                    rolling.setdefault("maxSurge", 0)
            case "Job":
                for key, value in (("completions", 1), ("parallelism", 1), ("backoffLimit", 6)):
                    spec.setdefault(key, value)

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        obj["status"] = {}
        if self._kind == "DaemonSet":
            obj["status"] = dict.fromkeys(
                ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0
            )

    def prepare_update(self, new: Json, old: Json, moment: Moment) -> None:
        restore(new, old, "status")

    def validate(self, obj: Json) -> list[FieldError]:
        spec = obj["spec"]
        if self._kind == "Job":
            return []
        if not spec.get("selector"):
            return [fielderrors.required("spec.selector")]
        labels = spec["template"]["metadata"].get("labels") or {}
        if not labels_of_selector(spec["selector"]).matches(labels):
            detail = "`selector` does not match template `labels`"
            return [fielderrors.invalid("spec.template.metadata.labels", labels, detail)]
        if not spec["template"]["spec"].get("containers"):
            return [fielderrors.required("spec.template.spec.containers")]
        return []

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        if new["spec"].get("selector") != old["spec"].get("selector"):
            return [fielderrors.invalid("spec.selector", new["spec"].get("selector"), "field is immutable")]
        return self.validate(new)


class DisruptionBudgets(Behaviour):
    """PodDisruptionBudget objects; nothing counts their pods."""

    has_generation = True
    has_status = True

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        obj["status"] = dict.fromkeys(("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"), 0)

    def validate(self, obj: Json) -> list[FieldError]:
        spec = obj.get("spec") or {}
        if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
            detail = "minAvailable and maxUnavailable cannot be both set"
            return [fielderrors.invalid("spec", spec, detail)]
        return []


def to_scale(obj: Json) -> Json:
    """The Scale of a Deployment and its like, for `kubectl scale`."""
    meta = {
        key: obj["metadata"].get(key) for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    selector = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        },
    }
