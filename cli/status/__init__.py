"""`berth status`: what is wrong first, then allocators, speakers, pools, addresses and peers."""
