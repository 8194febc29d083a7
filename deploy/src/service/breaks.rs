//! The ways to break the demo's service; each wants another layer of Sereno to heal it.

/// One way to break it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The process ends by itself.
    Exit,
    /// The process is ended by a signal.
    Abort,
    /// `/health` answers 503 from then on.
    Sick,
    /// Connections are accepted and never answered from then on.
    Hang,
    /// The listening socket is closed, the process lives on.
    Close,
    /// The process is suspended, as by Ctrl-Z.
    Freeze,
}

impl Break {
    /// Those that this system can do.
    pub fn offered() -> Vec<Self> {
        let mut all = vec![Self::Exit, Self::Abort, Self::Sick, Self::Hang, Self::Close];
        if cfg!(unix) {
            all.push(Self::Freeze);
        }
        all
    }

    /// As it stands in the address.
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

    /// The break of that name, if this system can do it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::offered().into_iter().find(|way| way.name() == name)
    }

    /// What is answered before it happens.
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

    /// Who notices, and what happens then.
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
