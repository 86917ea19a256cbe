"""All planted faults, by what they are about."""

from collections.abc import Mapping

from tests.mutations.catalogue import bounds, release, routers, sharing, speaker
from tests.mutations.mutation import Mutation

ROOMS = (release, speaker, routers, sharing, bounds)

MUTATIONS: Mapping[str, Mutation] = {one.name: one for room in ROOMS for one in room.MUTATIONS}
