//! `thumb` at a terminal of its own.

use std::process::Command;

use crate::moto;

/// A terminal of 80 columns, by Python's pty.
const TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
os.write(terminal, sys.argv[1].encode() + b"\n")
try:
    while chunk := os.read(terminal, 4096):
        sys.stdout.buffer.write(chunk)
except OSError:
    pass  # the child has ended
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// Runs a command at a terminal where these lines are typed: its exit code, and what stands on the screen.
pub fn at_a_terminal(command: &Command, typed: &str) -> (Option<i32>, String) {
    let mut python = Command::new("python3");
    moto::clean(&mut python);
    python.args(["-c", TERMINAL, typed]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        python.current_dir(dir);
    }
    let output = python.env("TERM", "xterm").output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}
