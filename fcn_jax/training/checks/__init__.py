"""What stops a run that would learn nothing, or says so."""
