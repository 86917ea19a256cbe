"""Random acts and faults on a whole lab for as long as one likes, judged by what others saw: docs/soak.md."""
