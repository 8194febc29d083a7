//! The ways to break the demo's service; each is healed by a different layer of Sereno.

/// A way to break the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The process exits by itself.
    Exit,
    /// The process is ended by a signal.
    Abort,
    /// `/health` answers 503 from then on.
    Sick,
    /// Connections are accepted and never answered from then on.
    Hang,
    /// The listening socket is closed, but the process lives on.
    Close,
    /// The process is suspended, as with Ctrl-Z.
    Freeze,
}

impl Break {
    /// Returns the ways that this system supports.
    pub fn offered() -> Vec<Self> {
        let mut all = vec![Self::Exit, Self::Abort, Self::Sick, Self::Hang, Self::Close];
        if cfg!(unix) {
            all.push(Self::Freeze);
        }
        all
    }

    /// Returns the name used in the address.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Abort => "abort",
            Self::Sick => "sick",
            Self::Hang => "hang",
            Self::Close => "close",
            Self::Freeze => "freeze",
        }
    }

    /// Returns the way of that name, if this system supports it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::offered().into_iter().find(|way| way.name() == name)
    }

    /// Returns the answer that is sent before it happens.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Exit => "I end now, with exit code 3.",
            Self::Abort => "I abort now: a signal ends me.",
            Self::Sick => "From now on /health answers 503.",
            Self::Hang => "From now on I accept connections and never answer.",
            Self::Close => "I close my listening socket now, and live on.",
            Self::Freeze => "I stop now, as by Ctrl-Z: I neither run nor end.",
        }
    }

    /// Returns a description of how Sereno notices and heals it.
    pub const fn healed_by(self) -> &'static str {
        match self {
            Self::Exit => "It ends: the supervisor sees it at once, and starts it again",
            Self::Abort => "A signal ends it: the same, and `why` names the signal",
            Self::Sick => "It answers 503: health-monitor counts two failures, and asks for a restart",
            Self::Hang => "It accepts and never answers: for health-monitor a time-out is a failure",
            Self::Close => "It no longer listens but lives on: port-monitor asks for a restart",
            Self::Freeze => {
                "It is frozen, but the kernel goes on accepting for it: a queue that does not drain gives it away"
            }
        }
    }
}
