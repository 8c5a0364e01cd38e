//! Which sockets does an app have, under which key, and which run uses which?
//!
//! A table and its rules; it never touches a socket. The caller binds what [`Decision::Bind`] says, stores the
//! descriptor under the key (`DescriptorName::Port` of the keeper) and reports it by [`Ports::bound`]. The table
//! belongs into the supervisor's snapshot.
//!
//! The rules are those of Node's shared handles (`lib/internal/cluster/primary.js`, `shared_handle.js`) with three
//! differences. A socket outlives its last user: it is closed when the app is stopped, not when a worker goes. A
//! fixed port has one key, however often a worker has closed and reopened it. And a query that is asked again
//! with the same number, because a supervisor died before it had taken note of its answer, gets the same answer.

use std::collections::BTreeMap;
use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use supd_api::{AppName, Balance};
use supd_keeper::protocol::RunId;

use super::message::ServerData;
use super::{Endpoint, ServerQuery};

/// A run that uses more sockets than this is mistaken; it would eat the daemon's descriptors.
const PORTS_PER_RUN: usize = 256;

/// The name of a socket: opaque text, unique in the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortKey(String);

impl PortKey {
    /// As text, for the descriptor's name in the keeper.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PortKey {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The number of a worker within its app, from 0. A replacement takes the seat of the run it replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seat(pub u32);

/// Who wants a socket.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The app.
    pub app: &'a AppName,
    /// The worker.
    pub seat: Seat,
    /// Its present run.
    pub run: RunId,
    /// How the app's workers share a socket. A socket that the app has already stays shared the way it is.
    pub balance: Balance,
}

/// What to do about a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Give it the socket of this key; its use is noted.
    Have(PortKey),
    /// Bind this first, then call [`Ports::bound`]; or forget about it if that fails.
    Bind(Box<Claim>),
    /// Say no with this error.
    Refuse(Errno),
}

/// A socket to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Its name.
    pub key: PortKey,
    /// What to bind.
    pub endpoint: Endpoint,
    /// How.
    pub balance: Balance,
    port: Port,
}

/// All sockets of all apps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ports {
    ports: BTreeMap<PortKey, Port>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Port {
    app: AppName,
    /// What was asked for: port 0 stays 0 here.
    asked: Endpoint,
    index: u64,
    /// `None`: for all workers of the app.
    seat: Option<Seat>,
    bound: Endpoint,
    data: ServerData,
    users: BTreeMap<RunId, Use>,
    /// A run that uses it was ready.
    #[serde(default)]
    proven: bool,
}

/// In what way a run has a socket; a cluster worker may have one in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Use {
    inherited: bool,
    /// The number of the query, while the worker has not closed that server.
    asked: Option<u64>,
    /// The run has been told to leave and closes everything.
    #[serde(default)]
    leaving: bool,
}

impl Use {
    /// What becomes of it when the run asks with this number, or inherits. `None`: it has that server open.
    fn and(self, seq: Option<u64>) -> Option<Self> {
        match (seq, self.asked) {
            (None, _) => Some(Self { inherited: true, ..self }),
            (Some(seq), Some(earlier)) if earlier != seq => None,
            (Some(_), _) => Some(Self { asked: seq, ..self }),
        }
    }
}

struct Wish<'a> {
    endpoint: &'a Endpoint,
    index: u64,
    data: &'a ServerData,
    /// The number of the query; `None`: inherited.
    seq: Option<u64>,
}

impl Ports {
    /// A worker's query `seq` on its IPC channel.
    pub fn query(&mut self, asker: Asker<'_>, seq: u64, query: &ServerQuery) -> Decision {
        let endpoint = match &query.endpoint {
            Ok(endpoint) => endpoint,
            Err(errno) => return Decision::Refuse(*errno),
        };
        let index = if endpoint.is_random() { query.index } else { 0 };
        self.decide(asker, &Wish { endpoint, index, data: &query.data, seq: Some(seq) })
    }

    /// A socket of the app's declaration, to be inherited by a run that is about to start.
    pub fn inherit(&mut self, asker: Asker<'_>, endpoint: &Endpoint) -> Decision {
        self.decide(asker, &Wish { endpoint, index: 0, data: &ServerData::default(), seq: None })
    }

    /// The claim has been bound, to this endpoint.
    pub fn bound(&mut self, claim: Box<Claim>, bound: Endpoint) -> PortKey {
        self.ports.insert(claim.key.clone(), Port { bound, ..claim.port });
        claim.key
    }

    /// The run is being told to disconnect. That it closes its servers means nothing from now on: its successor is to
    /// find its random ports again. It counts as their user until [`Ports::release`].
    pub fn leave(&mut self, run: RunId) {
        for usage in self.ports.values_mut().filter_map(|port| port.users.get_mut(&run)) {
            usage.leaving = true;
        }
    }

    /// The worker has closed the server it had asked for. Returns the key when the socket has become useless: a
    /// random port nobody uses. It has left the table; its descriptor should be closed.
    pub fn closed(&mut self, run: RunId, key: &PortKey) -> Option<PortKey> {
        let port = self.ports.get_mut(key)?;
        let usage = port.users.get_mut(&run).filter(|usage| !usage.leaving)?;
        usage.asked = None;
        if !usage.inherited {
            port.users.remove(&run);
        }
        let useless = port.users.is_empty() && port.asked.is_random();
        useless.then(|| self.ports.remove_entry(key)).flatten().map(|(key, _)| key)
    }

    /// The run has ended.
    pub fn release(&mut self, run: RunId) {
        for port in self.ports.values_mut() {
            port.users.remove(&run);
        }
    }

    /// Takes the sockets of an app that no run uses out of the table: the caller closes them, then removes the
    /// files of Unix ones. To be asked when an app is stopped or deleted, and when all its workers are ready
    /// (then what is unused belonged to an earlier revision or to a seat that is gone). Never while a worker is
    /// down: its socket waits for it.
    pub fn take_unused(&mut self, app: &AppName) -> Vec<(PortKey, Endpoint)> {
        let unused = |port: &Port| port.app == *app && port.users.is_empty();
        let taken = self.ports.iter().filter(|(_, port)| unused(port));
        let taken = taken.map(|(key, port)| (key.clone(), port.bound.clone())).collect();
        self.ports.retain(|_, port| !unused(port));
        taken
    }

    /// What the first asker wants all workers to know (TLS ticket keys), to be put into each answer.
    pub fn data(&self, key: &PortKey) -> ServerData {
        self.ports.get(key).map(|port| port.data.clone()).unwrap_or_default()
    }

    /// The sockets a run uses.
    pub fn used_by(&self, run: RunId) -> impl Iterator<Item = &PortKey> {
        self.ports.iter().filter(move |(_, port)| port.users.contains_key(&run)).map(|(key, _)| key)
    }

    /// A run has shown that it works, and so have its sockets.
    pub fn prove(&mut self, run: RunId) {
        let used = self.ports.values_mut().filter(|port| port.users.contains_key(&run));
        used.for_each(|port| port.proven = true);
    }

    /// Where the app has proven sockets that this run of this worker could use and does not. A free port that was found for
    /// somebody is not among them.
    pub fn not_used_by(&self, run: RunId, app: &AppName, seat: Seat) -> impl Iterator<Item = &Endpoint> {
        let proven = self.ports.values().filter(move |port| port.app == *app && port.proven);
        let own = proven.filter(move |port| port.seat.is_none_or(|of| of == seat));
        own.filter(move |port| !port.asked.is_random() && !port.users.contains_key(&run))
            .map(|port| &port.bound)
    }

    /// The sockets of an app and where they are bound.
    pub fn of(&self, app: &AppName) -> impl Iterator<Item = (&PortKey, &Endpoint)> {
        self.ports.iter().filter(move |(_, port)| port.app == *app).map(|(key, port)| (key, &port.bound))
    }

    /// Every key, to find descriptors the table does not know.
    pub fn keys(&self) -> impl Iterator<Item = &PortKey> {
        self.ports.keys()
    }

    /// The app's sockets for this wish: one, or one per seat.
    fn siblings(&self, app: &AppName, wish: &Wish<'_>) -> impl Iterator<Item = &Port> {
        self.ports
            .values()
            .filter(move |port| port.app == *app && port.asked == *wish.endpoint && port.index == wish.index)
    }

    fn decide(&mut self, asker: Asker<'_>, wish: &Wish<'_>) -> Decision {
        let per_seat = match self.siblings(asker.app, wish).next() {
            Some(sibling) => sibling.seat.is_some(),
            None => matches!(wish.endpoint, Endpoint::Tcp { .. }) && asker.balance == Balance::Reuseport,
        };
        let seat = per_seat.then_some(asker.seat);
        let shown = seat.map_or("*".to_owned(), |seat| seat.0.to_string());
        let key = PortKey(format!("{}/{shown}/{}/{}", asker.app, wish.index, wish.endpoint));

        let before = self.ports.get(&key).and_then(|port| port.users.get(&asker.run)).copied();
        if before.is_none() && self.used_by(asker.run).count() >= PORTS_PER_RUN {
            return Decision::Refuse(Errno::EMFILE);
        }
        let Some(usage) = before.unwrap_or_default().and(wish.seq) else {
            return Decision::Refuse(Errno::EADDRINUSE);
        };
        let Some(port) = self.ports.get_mut(&key) else {
            return Decision::Bind(self.claim(asker, key, seat, wish, usage));
        };
        port.users.insert(asker.run, usage);
        if port.data == ServerData::default() {
            port.data = wish.data.clone();
        }
        Decision::Have(key)
    }

    fn claim(
        &self,
        asker: Asker<'_>,
        key: PortKey,
        seat: Option<Seat>,
        wish: &Wish<'_>,
        usage: Use,
    ) -> Box<Claim> {
        // The seats of a random port share the number that the first one got.
        let sibling = self.siblings(asker.app, wish).find_map(|sibling| sibling.bound.address());
        let endpoint = sibling.map_or(wish.endpoint.clone(), |address| wish.endpoint.at(address));
        let port = Port {
            app: asker.app.clone(),
            asked: wish.endpoint.clone(),
            index: wish.index,
            seat,
            bound: endpoint.clone(),
            data: wish.data.clone(),
            users: BTreeMap::from([(asker.run, usage)]),
            proven: false,
        };
        let balance = if seat.is_some() { Balance::Reuseport } else { Balance::Shared };
        Box::new(Claim { key, endpoint, balance, port })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    struct Table {
        ports: Ports,
        app: AppName,
        balance: Balance,
    }

    fn table(balance: Balance) -> Table {
        Table { ports: Ports::default(), app: AppName::new("web").expect("name"), balance }
    }

    fn tcp(address: &str) -> Endpoint {
        Endpoint::Tcp { address: address.parse().expect("address"), ipv6_only: false }
    }

    fn query(address: &str, index: u64) -> ServerQuery {
        ServerQuery { endpoint: Ok(tcp(address)), index, data: ServerData::default() }
    }

    impl Table {
        fn asker(&self, seat: u32, run: u64) -> Asker<'_> {
            Asker { app: &self.app, seat: Seat(seat), run: RunId(run), balance: self.balance }
        }

        /// Asks; what is to be bound is bound, random ports to 4000. Tells whether it was.
        fn ask(
            &mut self,
            seat: u32,
            run: u64,
            seq: u64,
            query: &ServerQuery,
        ) -> Result<(PortKey, bool), Errno> {
            let app = self.app.clone();
            let asker = Asker { app: &app, ..self.asker(seat, run) };
            let decision = self.ports.query(asker, seq, query);
            self.perform(decision)
        }

        fn perform(&mut self, decision: Decision) -> Result<(PortKey, bool), Errno> {
            match decision {
                Decision::Have(key) => Ok((key, false)),
                Decision::Refuse(errno) => Err(errno),
                Decision::Bind(claim) => {
                    let mut address = claim.endpoint.address().expect("address");
                    if address.port() == 0 {
                        address.set_port(4000);
                    }
                    let bound = claim.endpoint.at(address);
                    Ok((self.ports.bound(claim, bound), true))
                }
            }
        }

        fn bound_at(&self) -> Vec<String> {
            self.ports.of(&self.app).map(|(_, endpoint)| endpoint.to_string()).collect()
        }
    }

    #[test]
    fn one_socket_for_all_workers() {
        let mut table = table(Balance::Shared);
        let (key, fresh) = table.ask(0, 1, 1, &query("[::]:80", 0)).expect("first");
        assert!(fresh);
        assert_eq!(table.ask(1, 2, 1, &query("[::]:80", 3)), Ok((key.clone(), false)));
        assert_eq!(table.ask(1, 2, 9, &query("0.0.0.0:80", 0)).map(|(_, fresh)| fresh), Ok(true));
        assert_eq!(table.ports.used_by(RunId(2)).count(), 2);
    }

    #[test]
    fn a_second_server_on_an_open_port_is_refused() {
        let mut table = table(Balance::Shared);
        let (key, _) = table.ask(0, 1, 1, &query("[::]:80", 0)).expect("first");
        assert_eq!(table.ask(0, 1, 2, &query("[::]:80", 1)), Err(Errno::EADDRINUSE));
        assert_eq!(table.ask(0, 1, 1, &query("[::]:80", 0)), Ok((key.clone(), false)), "asked again");
        assert_eq!(table.ports.closed(RunId(1), &key), None, "a fixed port stays");
        assert_eq!(table.ask(0, 1, 3, &query("[::]:80", 1)), Ok((key.clone(), false)), "reopened");
        assert_eq!(table.ports.closed(RunId(7), &key), None, "not its own");
        assert_eq!(table.ask(0, 1, 4, &query("[::]:80", 1)), Err(Errno::EADDRINUSE));
    }

    #[test]
    fn a_socket_per_seat() {
        let mut table = table(Balance::Reuseport);
        let (first, _) = table.ask(0, 1, 1, &query("[::]:0", 0)).expect("seat 0");
        let (second, fresh) = table.ask(1, 2, 1, &query("[::]:0", 0)).expect("seat 1");
        assert!(first != second && fresh);
        assert_eq!(table.bound_at(), ["[::]:4000", "[::]:4000"]);
        assert_eq!(table.ask(0, 3, 1, &query("[::]:0", 0)), Ok((first, false)), "the next run of seat 0");
        table.ports.release(RunId(2));
        let taken = table.ports.take_unused(&table.app);
        assert_eq!(taken, [(second, tcp("[::]:4000"))], "seat 1 is gone");
    }

    #[test]
    fn only_tcp_has_a_socket_per_seat() {
        let mut table = table(Balance::Reuseport);
        for endpoint in [
            Endpoint::Unix("/run/a.sock".into()),
            Endpoint::Udp {
                address: "[::]:53".parse().expect("address"),
                ipv6_only: false,
                reuse_address: false,
            },
        ] {
            let Decision::Bind(claim) = table.ports.inherit(table_asker(&table.app), &endpoint) else {
                panic!("new")
            };
            assert_eq!(claim.balance, Balance::Shared);
        }
    }

    fn table_asker(app: &AppName) -> Asker<'_> {
        Asker { app, seat: Seat(0), run: RunId(1), balance: Balance::Reuseport }
    }

    #[test]
    fn a_port_keeps_its_balance_until_nobody_uses_it() {
        let mut table = table(Balance::Shared);
        let (key, _) = table.ask(0, 1, 1, &query("[::]:80", 0)).expect("shared");
        table.balance = Balance::Reuseport;
        assert_eq!(table.ask(0, 2, 1, &query("[::]:80", 0)), Ok((key, false)));
        table.ports.release(RunId(1));
        table.ports.release(RunId(2));
        assert_eq!(table.ports.take_unused(&table.app).len(), 1);
        let (key, _) = table.ask(0, 3, 1, &query("[::]:80", 0)).expect("per seat");
        assert_ne!(table.ask(1, 4, 1, &query("[::]:80", 0)).map(|(key, _)| key), Ok(key));
    }

    #[test]
    fn random_ports() {
        let mut table = table(Balance::Shared);
        let (first, _) = table.ask(0, 1, 1, &query("[::]:0", 0)).expect("first");
        let (second, fresh) = table.ask(0, 1, 2, &query("[::]:0", 1)).expect("second");
        assert!(fresh && first != second);
        assert_eq!(table.ask(1, 2, 1, &query("[::]:0", 0)), Ok((first.clone(), false)));
        assert_eq!(table.ports.closed(RunId(1), &second), Some(second), "nobody else has it");
        assert_eq!(table.ports.closed(RunId(1), &first), None);
        table.ports.release(RunId(2));
        assert_eq!(table.ask(1, 3, 1, &query("[::]:0", 0)), Ok((first, false)), "a restart keeps the number");
    }

    #[test]
    fn a_run_that_leaves_takes_no_random_port_along() {
        let mut table = table(Balance::Shared);
        let (key, _) = table.ask(0, 1, 1, &query("[::]:0", 0)).expect("first");
        table.ports.leave(RunId(1));
        assert_eq!(table.ports.closed(RunId(1), &key), None);
        assert!(table.ports.take_unused(&table.app).is_empty(), "it has not ended yet");
        table.ports.release(RunId(1));
        assert_eq!(table.ask(0, 2, 1, &query("[::]:0", 0)), Ok((key, false)), "its successor");
    }

    #[test]
    fn the_first_data_counts() {
        let mut table = table(Balance::Shared);
        let with = |text: &str| ServerQuery { data: ServerData(Value::from(text)), ..query("[::]:443", 0) };
        let (key, _) = table.ask(0, 1, 1, &with("first")).expect("first");
        table.ask(1, 2, 1, &with("second")).expect("second");
        assert_eq!(table.ports.data(&key), ServerData(Value::from("first")));
    }

    #[test]
    fn inherited_and_asked_for() {
        let mut table = table(Balance::Shared);
        let app = table.app.clone();
        let asker = Asker { app: &app, ..table.asker(0, 1) };
        let decision = table.ports.inherit(asker, &tcp("[::]:80"));
        let (key, fresh) = table.perform(decision).expect("inherited");
        assert!(fresh);
        assert_eq!(table.ask(0, 1, 1, &query("[::]:80", 0)), Ok((key.clone(), false)));
        table.ports.closed(RunId(1), &key);
        assert!(table.ports.take_unused(&table.app).is_empty(), "still inherited");
        table.ports.release(RunId(1));
        assert_eq!(table.ports.take_unused(&table.app).len(), 1);
    }

    #[test]
    fn bad_queries_and_greed_are_refused() {
        let mut table = table(Balance::Shared);
        let bad = ServerQuery { endpoint: Err(Errno::EBADF), index: 0, data: ServerData::default() };
        assert_eq!(table.ask(0, 1, 1, &bad), Err(Errno::EBADF));
        for index in 0..PORTS_PER_RUN as u64 {
            table.ask(0, 1, index, &query("[::]:0", index)).expect("within the limit");
        }
        assert_eq!(table.ask(0, 1, 999, &query("[::]:0", 999)), Err(Errno::EMFILE));
        assert!(table.ask(0, 2, 1, &query("[::]:0", 999)).is_ok(), "another run is not concerned");
    }

    #[test]
    fn survives_a_snapshot() {
        let mut table = table(Balance::Reuseport);
        table.ask(0, 1, 1, &query("[::]:80", 0)).expect("tcp");
        let text = serde_json::to_string(&table.ports).expect("write");
        assert_eq!(serde_json::from_str::<Ports>(&text).expect("read"), table.ports);
    }
}
