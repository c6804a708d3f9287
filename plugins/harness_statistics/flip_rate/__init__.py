"""Features that an injected component switches on or off."""
