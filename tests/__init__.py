"""The specification of `rollout`, as tests."""
