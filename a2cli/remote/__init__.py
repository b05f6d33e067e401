"""What a client of a paid API needs: whom the key is told, one bounded call, tries with pauses, a shared budget."""
