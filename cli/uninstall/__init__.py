"""`berth uninstall`: whether Berth may go, and what to do about what it left behind."""
