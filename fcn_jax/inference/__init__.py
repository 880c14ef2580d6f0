"""Pictures of any size through a trained or converted network."""
