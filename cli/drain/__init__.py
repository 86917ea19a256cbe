"""`berth drain` and `berth undrain`: take layer-2 addresses and BGP routes off a node before maintenance, and back."""
