"""What can be done to any resource: create, get, list, update, patch, apply and delete. No kind is named here."""
