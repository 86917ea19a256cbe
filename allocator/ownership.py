"""Which Services are ours to serve, and which bear a mark of ours: by class (KEP-1959), condition and finalizer.

Reads one Service at a time; who holds what is not asked here.
"""

from dataclasses import dataclass

from allocator.request import DEFAULT_CLASS, our_condition
from kube.objects import Service


@dataclass(frozen=True, slots=True)
class Ownership:
    """`load_balancer_class` None: Services without a class are served, and those of DEFAULT_CLASS."""

    load_balancer_class: str | None
    finalizer: str

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
        return self.finalizer in service.metadata.finalizers and self._is_of_our_class(service)

    def _is_of_our_class(self, service: Service) -> bool:
        if service.spec.type != "LoadBalancer":
            return False
        asked = service.spec.load_balancer_class
        if self.load_balancer_class is not None:
            return asked == self.load_balancer_class
        return asked is None or asked == DEFAULT_CLASS
