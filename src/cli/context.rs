//! What every verb starts from: where things are, and how to write.

use std::net::SocketAddr;
use std::path::Path;

use super::Globals;
use super::exit::{Exit, Failure};
use super::output::Output;
use super::remote::Remote;
use crate::control::{DataDirectory, RunFile};
use crate::settings::{BaseUrl, Place, Profile, Settings, Sources};

/// What every verb starts from.
pub struct Context {
    pub(super) globals: Globals,
    /// Where and how to write.
    pub output: Output,
}

impl Context {
    pub(super) fn new(globals: Globals) -> Self {
        let output = Output::new(globals.json, globals.quiet);
        Self { globals, output }
    }

    /// The data directory's path.
    pub fn data_path(&self) -> &Path {
        &self.globals.data_dir
    }

    /// The data directory, which must exist.
    ///
    /// # Errors
    ///
    /// Usage: there is none.
    pub fn data_directory(&self) -> Result<DataDirectory, Failure> {
        DataDirectory::open(self.data_path()).map_err(|error| {
            let path = self.data_path().display();
            let message = format!(
                "the data directory {path} cannot be opened ({})",
                error.kind()
            );
            Failure::new(Exit::Usage, "DATA_DIRECTORY", message)
                .next("name it with --data-dir or FLASHGUARD_DATA_DIR")
        })
    }

    /// Every setting, from the file, the environment and `options` of the command line.
    ///
    /// # Errors
    ///
    /// Usage, with every mistake.
    pub fn settings(
        &self,
        options: Vec<(&'static str, &'static str, String)>,
    ) -> Result<Settings, Failure> {
        self.settings_under(self.globals.profile, options)
    }

    /// Every setting, for making a data directory: what production refuses of listeners and venue is
    /// for the start to refuse, and may not be settled yet.
    ///
    /// # Errors
    ///
    /// Usage, with every mistake.
    pub fn settings_for_init(&self) -> Result<Settings, Failure> {
        let profile = self.globals.profile;
        let settings = self.settings_under(Profile::Development, Vec::new())?;
        Ok(Settings {
            profile,
            ..settings
        })
    }

    fn settings_under(
        &self,
        profile: Profile,
        options: Vec<(&'static str, &'static str, String)>,
    ) -> Result<Settings, Failure> {
        Ok(Settings::load(&self.sources(profile, options))?)
    }

    /// Every setting, and where it got its value.
    ///
    /// # Errors
    ///
    /// Usage, with every mistake.
    pub fn settings_with_places(&self) -> Result<(Settings, Vec<Place>), Failure> {
        let sources = self.sources(self.globals.profile, Vec::new());
        Ok(Settings::load_with_places(&sources)?)
    }

    fn sources(
        &self,
        profile: Profile,
        options: Vec<(&'static str, &'static str, String)>,
    ) -> Sources {
        Sources {
            profile,
            file: self.globals.config.clone(),
            file_if_present: Some(self.data_path().join("flashguard.toml")),
            environment: std::env::vars_os().collect(),
            options,
        }
    }

    /// The service over HTTP, where `--url`, `FLASHGUARD_URL` or `run.json` say it is.
    ///
    /// # Errors
    ///
    /// Usage for a bad address or no credential; unreachable when nothing says where it is.
    pub fn remote(&self) -> Result<Remote, Failure> {
        let url = match &self.globals.url {
            Some(url) => base_url(url)?,
            None => self.running_at(|run| run.listen)?,
        };
        Remote::new(url)
    }

    /// An address of the service that runs on the data directory.
    ///
    /// # Errors
    ///
    /// Unreachable: no service says that it runs.
    pub fn running_at(&self, which: fn(&RunFile) -> SocketAddr) -> Result<BaseUrl, Failure> {
        let run = DataDirectory::open(self.data_path()).and_then(|dir| RunFile::read(&dir));
        let run = run.map_err(|_| {
            let path = self.data_path().display();
            let message = format!("no service is known to run: {path} has no run.json");
            Failure::new(Exit::Unreachable, "NO_SERVICE", message)
                .next("start one with `flashguard serve`, or say where it is with --url")
        })?;
        base_url(&format!("http://{}", reachable(which(&run))))
    }

    /// Whether an address was named on the command line or in the environment.
    pub fn has_url(&self) -> bool {
        self.globals.url.is_some()
    }
}

fn base_url(text: &str) -> Result<BaseUrl, Failure> {
    BaseUrl::parse(text).map_err(|problem| {
        Failure::new(Exit::Usage, "URL", format!("--url: {problem}"))
            .next("https://HOST[:PORT], or http:// to this machine: it carries your credential")
    })
}

/// Where a listener on all addresses is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}
