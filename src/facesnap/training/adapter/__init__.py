"""Training FAM and FFRNet on photographs that ``facesnap data prepare`` has prepared: ``facesnap train``."""
