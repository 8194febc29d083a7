//! Held sockets of a service.

use std::net::{Shutdown, TcpListener, TcpStream};

use sereno_config::{Command, Service as Spec, Socket};
use supervisor::os;
use supervisor::service::sockets::Inherited;
use supervisor::service::{Role, Service};

#[test]
fn a_socket_that_a_run_has_shut_down_is_bound_anew() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let mut spec = Spec::new(Command::Argv(vec!["web".into()]), "/".into());
    spec.sockets = vec![Socket { name: "http".into(), listen: free }];
    let mut service = Service::new("web".parse().expect("a name"), Role::Service, spec, 1);
    for _ in 0..2 {
        service.hold_sockets(&mut Inherited::new()).expect("bound");
        TcpStream::connect(free).expect("it listens");
    }
    let copy = TcpStream::from(os::duplicate(&service.sockets[0].handle).expect("a copy"));
    copy.shutdown(Shutdown::Both).expect("shut down");
    drop(copy);
    TcpStream::connect(free).expect_err("nobody listens");
    service.hold_sockets(&mut Inherited::new()).expect("bound again");
    TcpStream::connect(free).expect("it listens again");
}
