#!/usr/bin/env python3
"""The examples for the open internet and for systemd, run as a user, or systemd, runs them. CTest calls this with the name of one class below.

SLUICE_EXAMPLES names the folder with the programs.
"""

import os
import socket
import unittest

from support import HOST, Program, connect, program_path, receive_all, receive_exactly, receive_line


def behind_proxy(*trusted):
    return Program(os.path.join(program_path("SLUICE_EXAMPLES"), "behind_proxy"), HOST, 0, *trusted)


class BehindProxy(unittest.TestCase):
    def test_tells_clients_who_they_are(self):
        with behind_proxy() as server:
            port = server.listening_port()
            with connect(port) as client:
                client.sendall(b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\nhello")
                self.assertEqual(receive_line(client), f"you are 192.0.2.7 by way of {HOST}\n")
                self.assertEqual(receive_exactly(client, 5), b"hello")
            with connect(port) as client:
                client.sendall(b"PROXY UNKNOWN\r\n")
                self.assertEqual(receive_line(client), f"you are {HOST}\n")
            server.end()

    def test_closes_what_begins_with_something_else(self):
        with behind_proxy() as server:
            with connect(server.listening_port()) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with self.assertRaises(ConnectionResetError):
                    receive_exactly(client, 1)
            server.end()

    def test_refuses_sources_it_does_not_trust(self):
        with behind_proxy("10.0.0.0/8") as server:
            with connect(server.listening_port()) as client:
                self.assertEqual(receive_all(client), b"")
            server.end()

    def test_refuses_the_one_connection_too_many_of_a_client(self):
        header = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n"
        with behind_proxy() as server:
            port = server.listening_port()
            clients = [connect(port) for _ in range(21)]
            for client in clients[:20]:
                client.sendall(header)
                receive_line(client)
            clients[20].sendall(header)
            self.assertEqual(receive_all(clients[20]), b"")
            for client in clients:
                client.close()
            server.end()


def socket_activated(listener, **variables):
    """As systemd starts it: the socket is descriptor 3, and the variables are for the process that is left."""
    pass_it_on = 'exec 3<&"$0" && LISTEN_PID=$$ exec "$@"'
    program = os.path.join(program_path("SLUICE_EXAMPLES"), "socket_activated")
    return Program(
        *("bash", "-c", pass_it_on, listener.fileno(), program, HOST, 0),
        pass_fds=[listener.fileno()],
        env={**os.environ, **variables},
    )


class SocketActivated(unittest.TestCase):
    def test_serves_on_the_socket_it_is_given(self):
        with socket.create_server((HOST, 0)) as listener:
            with socket_activated(listener, LISTEN_FDS="1", LISTEN_FDNAMES="echo") as server:
                self.assertEqual(server.listening_port(), listener.getsockname()[1])
                with connect(listener.getsockname()[1]) as client:
                    client.sendall(b"hello")
                    self.assertEqual(receive_exactly(client, 5), b"hello")
                server.end()

    def test_opens_a_socket_of_its_own_when_it_is_given_none(self):
        with socket.create_server((HOST, 0)) as listener:
            with socket_activated(listener) as server:
                port = server.listening_port()
                self.assertNotEqual(port, listener.getsockname()[1])
                with connect(port) as client:
                    client.sendall(b"hello")
                    self.assertEqual(receive_exactly(client, 5), b"hello")
                server.end()

    def test_says_what_is_wrong_with_what_it_is_given(self):
        with socket.create_server((HOST, 0)) as listener:
            for variables, said in (
                ({"LISTEN_FDS": "many"}, "LISTEN_FDS is 'many'"),
                ({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}, "echo"),
            ):
                with socket_activated(listener, **variables) as server:
                    self.assertEqual(server.exit_code(), 1)
                    self.assertIn(said, server.error_text())


if __name__ == "__main__":
    unittest.main()
