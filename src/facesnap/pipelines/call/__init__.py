"""What one call consists of: request, texts, conditions, sampling, settings, result."""
