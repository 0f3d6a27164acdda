"""The pages: each turns room data into a frozen view with pure functions, and has a thin handler."""
