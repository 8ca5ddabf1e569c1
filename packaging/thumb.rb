# The Homebrew formula, filled in by the release workflow (scripts/formula.py): VERSION and the SHA-256 of each archive.
class Thumb < Formula
  desc "Thumbnails in your own AWS account: queue, buckets, instances and the worker"
  homepage "https://github.com/thumb-rs/thumb"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
      url "https://github.com/thumb-rs/thumb/releases/download/v@VERSION@/thumb-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@aarch64-apple-darwin@"
    end
    on_intel do
      url "https://github.com/thumb-rs/thumb/releases/download/v@VERSION@/thumb-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@x86_64-apple-darwin@"
    end
  end

  on_linux do
    on_arm do
      url "https://github.com/thumb-rs/thumb/releases/download/v@VERSION@/thumb-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@aarch64-unknown-linux-gnu@"
    end
    on_intel do
      url "https://github.com/thumb-rs/thumb/releases/download/v@VERSION@/thumb-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@x86_64-unknown-linux-gnu@"
    end
  end

  def install
    bin.install "thumb"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/thumb.bash" => "thumb"
    zsh_completion.install "completions/_thumb"
    fish_completion.install "completions/thumb.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/thumb --version")
  end
end
