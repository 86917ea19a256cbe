"""The Helm chart without Helm at hand: rendered to objects, and installed by kubectl for the lab.

The lab starts Berth's programs itself, so the chart's workloads (Deployment, DaemonSet) are left out of an
installation here; definitions, service accounts, rights and policies are as they are. For an installation the chart is
rendered in a process of its own: Helm's library brings the Go runtime along, no guest for a process that forks.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.kubectl import Kubectl

_CHARTS = (Path(__file__).parent / "charts" / "berth", Path(__file__).parent.parent / "charts" / "berth")
"""In an installation, and in the repository."""
CHART = next(path for path in _CHARTS if path.is_dir())
RELEASE = "berth"
IMAGE = "localhost/berth"
"""The name that an image has on the machine where it was built: stands where values name none."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in pure Python a chart takes half a second
WORKLOADS = frozenset(
    {"Deployment", "DaemonSet", "PodDisruptionBudget", "PodMonitor", "ServiceMonitor", "PrometheusRule"}
)
RENDER_SECONDS = 60.0
APPLY_SECONDS = 120.0

Manifest = dict[str, Any]


def render(
    values: Mapping[str, Any] | None = None, namespace: str = "berth-system", *, release: str = RELEASE
) -> list[Manifest]:
    """Every object of the chart, as `helm template` gives it; definitions first, as Helm installs them.

    Values that say nothing of the image get IMAGE.

    Raises helm_python.HelmError when the values are not what values.schema.json allows.
    """
    import helm_python  # 75 MB of Go: loaded by rendering alone

    with helm_python.Chart.load(str(CHART)) as chart:
        texts = chart.render({"image": {"repository": IMAGE}, **(values or {})}, name=release, namespace=namespace)
    templates = (text for path, text in sorted(texts.items()) if path.endswith(".yaml"))
    objects = [manifest for text in templates for manifest in yaml.load_all(text, Loader=_LOADER) if manifest]
    return sorted(objects, key=lambda manifest: manifest["kind"] != "CustomResourceDefinition")


def install(
    kubeconfig: Path | str,
    namespace: str = "berth-system",
    values: Mapping[str, Any] | None = None,
    *,
    leave_out: frozenset[str] = WORKLOADS,
    rendered: Sequence[Manifest] | None = None,
) -> list[Manifest]:
    """Install the chart without its workloads and return what was installed. Safe to repeat; an upgrade is the same.

    `rendered` None = it is rendered here, with `values`.

    Raises CommandFailed with kubectl's words when something was refused.
    """
    manifests = rendered if rendered is not None else render_apart(values or {}, namespace)
    chosen = [one for one in manifests if one["kind"] not in leave_out and not is_hook(one)]
    home: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    objects = [home, *chosen]
    apply(kubeconfig, objects)
    _wait_for_definitions(kubeconfig)
    Kubectl(Path(kubeconfig)).forget_kinds()
    return objects


def is_hook(manifest: Manifest) -> bool:
    """Whether Helm runs it at its time, and installs it not."""
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})


def apply(kubeconfig: Path | str, objects: Sequence[Manifest]) -> None:
    """`kubectl apply` of these objects."""
    together = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    Kubectl(Path(kubeconfig))("apply", "-f", "-", stdin=together, timeout_seconds=APPLY_SECONDS)


def render_apart(values: Mapping[str, Any], namespace: str = "berth-system") -> list[Manifest]:
    """As `render`, in a process of its own."""
    command = [sys.executable, "-m", "lab.chart", "--json", f"--namespace={namespace}"]
    done = subprocess.run(
        command, input=json.dumps(dict(values)), capture_output=True, text=True, timeout=RENDER_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the chart could not be rendered: {done.stderr.strip()}")
    rendered: list[Manifest] = json.loads(done.stdout)
    return rendered


def _wait_for_definitions(kubeconfig: Path | str) -> None:
    chosen = f"--selector=app.kubernetes.io/instance={RELEASE}"
    condition = ("--for=condition=Established", "customresourcedefinitions")
    Kubectl(Path(kubeconfig))("wait", *condition, chosen, "--timeout=60s", timeout_seconds=APPLY_SECONDS)


def main() -> None:
    """`python -m lab.chart [--namespace N] [--json]` < values.json: the rendered chart on stdout."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="python -m lab.chart", description="Render the chart; values as JSON on stdin."
    )
    parser.add_argument("--namespace", default="berth-system")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of YAML documents")
    options = parser.parse_args()
    given = "" if sys.stdin.isatty() else sys.stdin.read()
    objects = render(json.loads(given or "{}"), options.namespace)
    sys.stdout.write(json.dumps(objects) if options.json else yaml.safe_dump_all(objects, sort_keys=False))


if __name__ == "__main__":
    main()
