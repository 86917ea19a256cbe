"""How fast the wire process answers NDP: arp.py's cases, asked by Neighbor Solicitations.

python -m bench.ndp [--rounds 3] [--requests 5000]
"""

from bench.arp import main
from bench.neighbours import NDP

if __name__ == "__main__":
    main(NDP)
