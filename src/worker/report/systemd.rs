//! Notifies systemd (`man 3 sd_notify`) that the worker is ready, is healthy, or stops: one datagram each, to the socket
//! that the environment names; without one, nothing is sent.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

/// Watchdog notifications per time-out; `man 3 sd_watchdog_enabled` recommends at least two.
const NOTIFICATIONS: u32 = 4;
/// However short the time-out is.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// How long a datagram may wait for space in systemd's queue: a full queue must not stop the loop.
const MAX_SEND: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub struct Notifier {
    #[cfg(unix)]
    to: Option<(std::os::unix::net::UnixDatagram, std::os::unix::net::SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From systemd's environment: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` unless `WATCHDOG_PID` means another process.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn from_environment() -> io::Result<Self> {
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|&time_out| ours && time_out > 0).map(Duration::from_micros);
        Self::new(&socket, watchdog)
    }

    /// For this socket: a path, or an abstract name with a leading `@`. `watchdog` is systemd's time-out.
    ///
    /// # Errors
    /// It is neither, or no socket can be created.
    #[cfg(unix)]
    pub fn new(socket: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};
        let address = match socket.as_bytes() {
            #[cfg(target_os = "linux")]
            [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(socket)?,
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor an abstract socket")),
        };
        let from = UnixDatagram::unbound()?;
        from.set_write_timeout(Some(MAX_SEND))?;
        Ok(Self { to: Some((from, address)), watchdog })
    }

    #[cfg(not(unix))]
    pub fn new(_: &OsStr, _: Option<Duration>) -> io::Result<Self> {
        Ok(Self::default())
    }

    /// How often to call [`Notifier::alive`], if at all.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|time_out| (time_out / NOTIFICATIONS).max(MIN_INTERVAL))
    }

    /// The queue has been found, and the loop starts.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.send("WATCHDOG=1");
        }
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Errors are ignored: a missed notification is repeated, or systemd does without it.
    fn send(&self, state: &str) {
        #[cfg(unix)]
        if let Some((from, address)) = &self.to {
            let _ = from.send_to_addr(state.as_bytes(), address);
        }
        #[cfg(not(unix))]
        let _ = state;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    fn read(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut datagram = [0; 64];
        let next = || socket.recv(&mut datagram).ok().map(|n| String::from_utf8_lossy(&datagram[..n]).into_owned());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn systemd_is_told_over_a_path_and_over_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("thumb-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (socket, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&address).unwrap(), format!("@{abstract_name}").into()),
        ] {
            let notifier = Notifier::new(&name, Some(Duration::from_secs(60))).unwrap();
            notifier.ready();
            notifier.alive();
            notifier.stopping();
            assert_eq!(read(&socket), ["READY=1", "WATCHDOG=1", "STOPPING=1"], "{name:?}");
            assert_eq!(notifier.interval(), Some(Duration::from_secs(15)));
            // The receiver is gone: nothing happens.
            drop(socket);
            notifier.alive();
        }
    }

    #[test]
    fn without_a_watchdog_or_a_socket_nothing_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.as_os_str(), None).unwrap();
        notifier.alive();
        assert_eq!((read(&socket), notifier.interval()), (vec![], None));
        Notifier::default().ready();
        assert!(Notifier::new(OsStr::new("vsock:2:1234"), None).is_err());
    }

    /// A queue holds ten datagrams unless the system has another bound (`man 7 unix`, max_dgram_qlen).
    #[test]
    fn a_full_queue_does_not_stop_the_loop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.as_os_str(), Some(Duration::from_secs(1))).unwrap();
        let began = std::time::Instant::now();
        (0..30).for_each(|_| notifier.alive());
        assert!(began.elapsed() < MAX_SEND * 60, "{:?}", began.elapsed());
        assert!(!read(&socket).is_empty());
    }
}
