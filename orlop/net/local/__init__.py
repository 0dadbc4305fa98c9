"""HTTP among those who are on one machine: a bounded server on a Unix socket, and who asks it."""
