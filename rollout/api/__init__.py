"""The nouns: Rollout, RolloutAction, and what is observed of the world. CRDs come from here."""
