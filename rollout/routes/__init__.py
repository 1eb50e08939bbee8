"""Reading and editing VirtualService and DestinationRule manifests; pure."""
