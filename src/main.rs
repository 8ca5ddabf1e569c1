fn main() -> std::process::ExitCode {
    thumb::cli::main()
}
