"""Which Services are ours to serve, and which bear a mark of ours: by class (KEP-1959), condition and finalizer.

Reads one Service at a time; who holds what is not asked here.
"""

from dataclasses import dataclass

from allocator.request import DEFAULT_CLASS, our_condition
from kube.objects import Service


@dataclass(frozen=True, slots=True)
class Ownership:
    """`load_balancer_class` None: Services without a class are served, and those of DEFAULT_CLASS.

    `former_finalizers`: names that ours may have had in an earlier life of this installation. Others use them too, so
    they are ours only on a Service of which our condition or a record says that it was served.
    """

    load_balancer_class: str | None
    finalizer: str
    former_finalizers: tuple[str, ...] = ()

    @property
    def class_name(self) -> str:
        """The class by which a Service is surely ours."""
        return self.load_balancer_class or DEFAULT_CLASS

    @property
    def served(self) -> str:
        """Which Services are served, in words."""
        if self.load_balancer_class is not None:
            return f"Services of the class {self.load_balancer_class}"
        return f"Services without a class, and those of the class {DEFAULT_CLASS}"

    def is_ours(self, service: Service) -> bool:
        """Whether we serve this Service: a LoadBalancer of our class that is not being deleted."""
        return not service.metadata.is_terminating and self._is_of_our_class(service)

    def is_marked(self, service: Service) -> bool:
        """Whether an allocator gave it what it shows, whatever it is now.

        Our condition says so, of whatever class the Service is. The finalizer may have a name that others use too, so
        it counts on Services of our class alone; it is what is left when somebody took the condition off.
        """
        if our_condition(service) is not None:
            return True
        return self.is_held(service) and self._is_of_our_class(service)

    def is_held(self, service: Service) -> bool:
        """Whether a finalizer is on it that is ours, or may be."""
        return not {self.finalizer, *self.former_finalizers}.isdisjoint(service.metadata.finalizers)

    def finalizers(self, service: Service, *, has_ours: bool, former_go: bool) -> list[str] | None:
        """The finalizers that it should have, others' among them; None when there is nothing to change.

        One of a former name beside ours stays until both go: it may be another load balancer's.
        """
        present = list(service.metadata.finalizers)
        if has_ours and (self.finalizer in present or service.metadata.is_terminating):
            return None  # a terminating object takes no new finalizers (422)
        going = {self.finalizer, *(self.former_finalizers if former_go else ())}
        kept = [one for one in present if one not in going]
        wanted = [*kept, self.finalizer] if has_ours else kept
        return None if wanted == present else wanted

    def _is_of_our_class(self, service: Service) -> bool:
        if service.spec.type != "LoadBalancer":
            return False
        asked = service.spec.load_balancer_class
        if self.load_balancer_class is not None:
            return asked == self.load_balancer_class
        return asked is None or asked == DEFAULT_CLASS
