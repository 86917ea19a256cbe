"""kubectl as the demo uses it: each command is shown as a user would type it, with what it printed."""

from lab.demo.narrator import Narrator
from lab.kubectl import Kubectl


class ShownKubectl:
    """Called like the command. Raises CommandFailed as Kubectl does."""

    def __init__(self, kubectl: Kubectl, narrator: Narrator) -> None:
        self._kubectl = kubectl
        self._narrator = narrator

    def __call__(self, *arguments: str) -> str:
        printed = self._kubectl(*arguments)
        self._narrator.command("kubectl", *arguments, printed=printed)
        return printed

    def apply(self, manifest: str) -> None:
        printed = self._kubectl.apply(manifest)
        self._narrator.command("kubectl", "apply", "-f", "-", stdin=manifest, printed=printed)
