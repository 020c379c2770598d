"""What makes a release: builds, pins, and the lists that go with it."""
