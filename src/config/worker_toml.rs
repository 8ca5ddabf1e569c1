//! stub
use super::Config;
impl Config {
    pub fn worker_toml(&self) -> String {
        format!("name = \"{}\"\n", self.name)
    }
}
