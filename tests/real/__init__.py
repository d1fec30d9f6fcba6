"""Stories on real processes, real sockets and real peers: other clients, another homeserver, SIGKILL."""
