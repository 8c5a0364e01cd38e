//! The product as its users meet it: the real binaries, real processes, sockets and files.
//!
//! Each test has a daemon of its own in a directory of its own, and every story ends with the proof that nothing of it
//! is left. Nothing here sleeps to let something happen: it waits until it has happened.

mod apps;
mod crash_reports;
mod crowd;
mod daemon;
mod http;
mod interpreter;
mod process;
mod wait;

mod bad_clients;
mod bad_declarations;
mod depends;
mod deploy;
mod doctor;
mod drain;
mod environment;
mod failed_start;
mod flat;
mod full_disk;
mod live;
mod log_reading;
mod logs;
mod migrate;
mod node;
mod output;
mod own_log;
mod pace;
mod pm2;
mod pm2_env;
mod pm2_files;
mod pm2_traps;
mod proof;
mod python;
mod races;
mod ready;
mod reboot;
mod releases;
mod reload;
mod reload_fails;
mod reload_node;
mod reload_told;
mod rollback;
mod rotation;
mod sample;
mod scale;
mod serve;
mod settings;
mod sinks;
mod skew;
mod stop;
mod supervisor_death;
mod targets;
mod upgrade;
mod worker_death;
