"""What failover costs with this cascade and with its alternatives: see ``make bench``."""
