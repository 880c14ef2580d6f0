"""Chains: experiments that are compared, or start from one another, over several seeds."""
