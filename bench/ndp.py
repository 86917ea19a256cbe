"""How fast NDP is answered: arp.py's scenarios, asked by Neighbor Solicitations.

python -m bench.ndp [SCENARIO...] [--rounds 3] [--requests 5000] [--addresses 1 1000 20000]
"""

from bench.arp import main
from bench.neighbours import NDP

if __name__ == "__main__":
    raise SystemExit(main(NDP))
