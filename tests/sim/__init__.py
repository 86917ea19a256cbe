"""A whole cluster in virtual time, made and unmade from a seed: real allocators and real speakers, played surroundings.

See docs/simulation.md.
"""
