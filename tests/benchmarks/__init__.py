"""What failover costs: this cascade and its alternatives, on one loopback server, in one run. See ``make bench``."""
