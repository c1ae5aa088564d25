"""Pure functions on plain tensors, the ground on which every other room stands."""
