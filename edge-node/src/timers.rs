//! Every interval and deadline of the edge's standing conversations, in one value that is passed
//! in, so that tests scale them. Not here: what belongs to one provider (its catalogue row says
//! how patient to be) or to one client connection.

use std::time::Duration;

/// Intervals and deadlines. The default is for production.
#[derive(Clone, Debug)]
pub struct Timers {
    /// TCP and TLS to the control plane.
    pub control_connect: Duration,
    /// Between HTTP/2 pings on the control channel, also while idle.
    pub control_keepalive: Duration,
    /// Without a ping's answer for this long the channel is dead.
    pub control_keepalive_timeout: Duration,
    /// First bound of the reconnect pause, doubled per failure; the pause is drawn below it.
    pub retry_min: Duration,
    /// Last bound of the reconnect pause.
    pub retry_max: Duration,
    /// How long a request waits for a key look-up.
    pub lookup: Duration,
    /// How long a key is used without asking again.
    pub key_fresh: Duration,
    /// How long a key is used while nobody can be asked.
    pub key_offline: Duration,
    /// How long "no such key" is believed; at most 2 s.
    pub key_negative: Duration,
    /// Between two tries to revalidate one key.
    pub key_retry: Duration,
    /// From a change of what is known of keys to the write of its file, when none was written
    /// lately; a denial is written at once.
    pub key_save_soon: Duration,
    /// Between two writes of the key file, at most: small ones follow each other sooner.
    pub key_save: Duration,
    /// How long a request waits for a lease top-up.
    pub topup: Duration,
    /// How long a request waits for a share of a limit of requests per minute.
    pub rate_share: Duration,
    /// How long a refused top-up is believed.
    pub topup_refused: Duration,
    /// A lease without holds for this long goes back.
    pub lease_idle: Duration,
    /// Between two looks for expired and idle leases.
    pub lease_sweep: Duration,
    /// From the end of a hold of a balance that is not leased ahead to the return of what it leaves:
    /// what ends together goes back together.
    pub lease_return: Duration,
    /// How long a request waits for money that other nodes have,
    pub elsewhere: Duration,
    /// and how often it looks whether the ledger has it back.
    pub elsewhere_again: Duration,
    /// Between two notes of contact in the log: a lease that is taken over after a restart may
    /// seem this much older than it is.
    pub contact_logged: Duration,
    /// From the first unsynced byte of the log to its fsync.
    pub wal_sync: Duration,
    /// Between two tries to reopen a failed log.
    pub wal_reopen: Duration,
    /// Between two progress marks of one hold.
    pub mark: Duration,
    /// Between two batches of usage.
    pub ship: Duration,
    /// How long one ledger call of the background may take.
    pub ledger: Duration,
    /// Between two telemetry reports, +-10 %.
    pub report: Duration,
    /// The least between an alarm's report and the one before.
    pub report_alarm_gap: Duration,
    /// Evidence older than this is not sent.
    pub report_stale: Duration,
    /// A stream to the control plane that lives this long resets the reconnect pause.
    pub stream_settled: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        Self {
            control_connect: s(2),
            control_keepalive: s(5),
            control_keepalive_timeout: s(3),
            retry_min: ms(100),
            retry_max: s(10),
            lookup: s(2),
            key_fresh: s(3600),
            key_offline: s(24 * 3600),
            key_negative: s(2),
            key_retry: s(30),
            key_save_soon: ms(100),
            key_save: s(10),
            topup: s(2),
            rate_share: s(1),
            topup_refused: s(1),
            lease_idle: s(300),
            lease_sweep: s(1),
            lease_return: ms(20),
            elsewhere: s(1),
            elsewhere_again: ms(100),
            contact_logged: s(60),
            wal_sync: ms(5),
            wal_reopen: s(1),
            mark: s(1),
            ship: ms(200),
            ledger: s(10),
            report: s(1),
            report_alarm_gap: ms(50),
            report_stale: s(10),
            stream_settled: s(5),
        }
    }
}

impl Timers {
    /// The same with every background interval (not the deadlines) multiplied by `factor`.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        for interval in [
            &mut self.retry_min,
            &mut self.retry_max,
            &mut self.key_negative,
            &mut self.key_retry,
            &mut self.key_save_soon,
            &mut self.key_save,
            &mut self.lease_idle,
            &mut self.lease_sweep,
            &mut self.contact_logged,
            &mut self.ship,
            &mut self.report,
            &mut self.report_alarm_gap,
        ] {
            *interval = interval.mul_f64(factor);
        }
        self
    }
}
