//! Every option: name, old letter, kind of value, and whether ordinary users may set it (manual, section 5.6).

use super::check::Complaint;
use alloc::vec::Vec;

/// What an option's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Truth,
    /// A number.
    Number,
    /// Text.
    Text,
    /// A time with unit.
    Time,
    /// One of some words.
    Choice,
    /// One octet.
    Letter,
    /// Names with commas.
    List,
    /// An octal file mode.
    FileMode,
    /// A user and group.
    User,
    /// Keys of a port.
    Ports,
    /// Privacy flags.
    Privacy,
    /// Suboptions of Timeout.
    Timeouts,
    /// Flags of DontBlameSendmail.
    Blame,
    /// Two lengths.
    MimeLengths,
    /// Suboptions of Milter.
    Milter,
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Its full name.
    pub name: &'static str,
    /// Its letter from older configurations; 0: none.
    pub letter: u8,
    /// What its value is.
    pub kind: Kind,
    /// Whether an ordinary user may set it on the command line without losing rights.
    pub is_safe: bool,
}

const fn option(name: &'static str, letter: u8, kind: Kind, is_safe: bool) -> Spec {
    Spec { name, letter, kind, is_safe }
}

/// All options, by name.
pub const OPTIONS: &[Spec] = &[
    option("AliasFile", b'A', Kind::List, false),
    option("AliasWait", b'a', Kind::Time, false),
    option("AllowBogusHELO", 0, Kind::Truth, true),
    option("AuthMaxBits", 0, Kind::Number, false),
    option("AuthMechanisms", 0, Kind::Text, false),
    option("AuthOptions", 0, Kind::Text, false),
    option("AuthRealm", 0, Kind::Text, false),
    option("BadRcptShutdown", 0, Kind::Number, true),
    option("BadRcptShutdownGood", 0, Kind::Number, true),
    option("BadRcptThrottle", 0, Kind::Number, true),
    option("BlankSub", b'B', Kind::Letter, false),
    option("CACertFile", 0, Kind::Text, false),
    option("CACertPath", 0, Kind::Text, false),
    option("CertFingerprintAlgorithm", 0, Kind::Text, false),
    option("CheckAliases", b'n', Kind::Truth, false),
    option("CheckpointInterval", b'C', Kind::Number, true),
    option("CipherList", 0, Kind::Text, false),
    option("CipherSuites", 0, Kind::Text, false),
    option("ClassFactor", b'z', Kind::Number, false),
    option("ClientCertFile", 0, Kind::Text, false),
    option("ClientKeyFile", 0, Kind::Text, false),
    option("ClientPortOptions", 0, Kind::Ports, false),
    option("ClientSSLOptions", 0, Kind::Text, false),
    option("ColonOkInAddr", 0, Kind::Truth, true),
    option("ConnectionCacheSize", b'k', Kind::Number, false),
    option("ConnectionCacheTimeout", b'K', Kind::Time, false),
    option("ConnectionRateThrottle", 0, Kind::Number, false),
    option("ConnectionRateWindowSize", 0, Kind::Time, false),
    option("ConnectOnlyTo", 0, Kind::Text, false),
    option("ControlSocketName", 0, Kind::Text, false),
    option("CRLFile", 0, Kind::Text, false),
    option("CRLPath", 0, Kind::Text, false),
    option("DaemonPortOptions", b'O', Kind::Ports, false),
    option("DataFileBufferSize", 0, Kind::Number, false),
    option("DeadLetterDrop", 0, Kind::Text, false),
    option("DefaultAuthInfo", 0, Kind::Text, false),
    option("DefaultCharSet", 0, Kind::Text, true),
    option("DefaultUser", b'g', Kind::User, false),
    option("DefaultUser", b'u', Kind::User, false),
    option("DelayLA", 0, Kind::Number, false),
    option("DeliverByMin", 0, Kind::Time, false),
    option("DeliveryMode", b'd', Kind::Choice, true),
    option("DHParameters", 0, Kind::Text, false),
    option("DialDelay", 0, Kind::Time, true),
    option("DirectSubmissionModifiers", 0, Kind::Text, false),
    option("DontBlameSendmail", 0, Kind::Blame, false),
    option("DontExpandCnames", 0, Kind::Truth, false),
    option("DontInitGroups", 0, Kind::Truth, false),
    option("DontProbeInterfaces", 0, Kind::Choice, false),
    option("DontPruneRoutes", b'R', Kind::Truth, false),
    option("DoubleBounceAddress", 0, Kind::Text, false),
    option("EightBitMode", b'8', Kind::Choice, true),
    option("ErrorHeader", b'E', Kind::Text, false),
    option("ErrorMode", b'e', Kind::Choice, true),
    option("FallbackMXhost", b'V', Kind::Text, false),
    option("FallbackSmartHost", 0, Kind::Text, false),
    option("FastSplit", 0, Kind::Number, false),
    option("ForkEachJob", b'Y', Kind::Truth, false),
    option("ForwardPath", b'J', Kind::Text, false),
    option("HeloName", 0, Kind::Text, false),
    option("HelpFile", b'H', Kind::Text, false),
    option("HoldExpensive", b'c', Kind::Truth, false),
    option("HostsFile", 0, Kind::Text, false),
    option("HostStatusDirectory", 0, Kind::Text, false),
    option("IgnoreDots", b'i', Kind::Truth, true),
    option("InputMailFilters", 0, Kind::Text, false),
    option("LDAPDefaultSpec", 0, Kind::Text, false),
    option("LogLevel", b'L', Kind::Number, true),
    option("MailboxDatabase", 0, Kind::Text, false),
    option("MatchGECOS", b'G', Kind::Truth, false),
    option("MaxAliasRecursion", 0, Kind::Number, false),
    option("MaxDaemonChildren", 0, Kind::Number, false),
    option("MaxHeadersLength", 0, Kind::Number, false),
    option("MaxHopCount", b'h', Kind::Number, false),
    option("MaxMessageSize", 0, Kind::Number, false),
    option("MaxMimeHeaderLength", 0, Kind::MimeLengths, false),
    option("MaxNOOPCommands", 0, Kind::Number, false),
    option("MaxQueueAge", 0, Kind::Time, true),
    option("MaxQueueChildren", 0, Kind::Number, false),
    option("MaxQueueRunSize", 0, Kind::Number, true),
    option("MaxRecipientsPerMessage", 0, Kind::Number, true),
    option("MaxRuleRecursion", 0, Kind::Number, false),
    option("MaxRunnersPerQueue", 0, Kind::Number, false),
    option("MeToo", b'm', Kind::Truth, true),
    option("Milter", 0, Kind::Milter, false),
    option("MinFreeBlocks", b'b', Kind::Number, true),
    option("MinQueueAge", 0, Kind::Time, true),
    option("MustQuoteChars", 0, Kind::Text, false),
    option("NiceQueueRun", 0, Kind::Number, false),
    option("NoRecipientAction", 0, Kind::Choice, true),
    option("OldStyleHeaders", b'o', Kind::Truth, true),
    option("OperatorChars", 0, Kind::Text, false),
    option("PidFile", 0, Kind::Text, false),
    option("PostmasterCopy", b'P', Kind::Text, false),
    option("PrivacyOptions", b'p', Kind::Privacy, true),
    option("ProcessTitlePrefix", 0, Kind::Text, false),
    option("QueueDirectory", b'Q', Kind::Text, false),
    option("QueueFactor", b'q', Kind::Number, false),
    option("QueueFileMode", 0, Kind::FileMode, false),
    option("QueueLA", b'x', Kind::Number, false),
    option("QueueSortOrder", 0, Kind::Choice, true),
    option("QueueTimeout", b'T', Kind::Time, false),
    option("RandFile", 0, Kind::Text, false),
    option("RebuildAliases", b'D', Kind::Truth, false),
    option("RecipientFactor", b'y', Kind::Number, false),
    option("RefuseLA", b'X', Kind::Number, false),
    option("RejectLogInterval", 0, Kind::Time, false),
    option("RejectNUL", 0, Kind::Truth, true),
    option("RequiresDirfsync", 0, Kind::Truth, false),
    option("ResolverOptions", b'I', Kind::Text, false),
    option("RetryFactor", b'Z', Kind::Number, false),
    option("RrtImpliesDsn", 0, Kind::Truth, false),
    option("RuleSetMaxRecursion", 0, Kind::Number, false),
    option("RunAsUser", 0, Kind::User, false),
    option("SafeFileEnvironment", 0, Kind::Text, false),
    option("SaveFromLine", b'f', Kind::Truth, false),
    option("SendMimeErrors", b'j', Kind::Truth, true),
    option("ServerCertFile", 0, Kind::Text, false),
    option("ServerKeyFile", 0, Kind::Text, false),
    option("ServerSSLOptions", 0, Kind::Text, false),
    option("ServiceSwitchFile", 0, Kind::Text, false),
    option("SetCertAltnames", 0, Kind::Truth, false),
    option("SevenBitInput", b'7', Kind::Truth, true),
    option("SharedMemoryKey", 0, Kind::Number, false),
    option("SharedMemoryKeyFile", 0, Kind::Text, false),
    option("SingleLineFromHeader", 0, Kind::Truth, true),
    option("SingleThreadDelivery", 0, Kind::Truth, false),
    option("SmtpGreetingMessage", b'$', Kind::Text, false),
    option("SmtpUTF8", 0, Kind::Truth, false),
    option("SoftBounce", 0, Kind::Truth, false),
    option("SSLEngine", 0, Kind::Text, false),
    option("SSLEnginePath", 0, Kind::Text, false),
    option("StatusFile", b'S', Kind::Text, false),
    option("StrictTransportSecurity", 0, Kind::Truth, false),
    option("SuperSafe", b's', Kind::Choice, true),
    option("TempFileMode", b'F', Kind::FileMode, false),
    option("Timeout", b'r', Kind::Timeouts, true),
    option("TimeZoneSpec", b't', Kind::Text, false),
    option("TLSFallbacktoClear", 0, Kind::Truth, false),
    option("TLSSrvOptions", 0, Kind::Text, false),
    option("TrustedUser", 0, Kind::User, false),
    option("TryNullMXList", b'w', Kind::Truth, false),
    option("UnixFromLine", 0, Kind::Text, false),
    option("UnsafeGroupWrites", 0, Kind::Truth, false),
    option("UseCompressedIPv6Addresses", 0, Kind::Truth, false),
    option("UseErrorsTo", b'l', Kind::Truth, false),
    option("UseMSP", 0, Kind::Truth, false),
    option("UserDatabaseSpec", b'U', Kind::Text, false),
    option("Verbose", b'v', Kind::Truth, true),
    option("XscriptFileBufferSize", 0, Kind::Number, false),
];

/// The option of a letter.
#[must_use]
pub fn by_letter(letter: u8) -> Option<&'static Spec> {
    OPTIONS.iter().find(|spec| spec.letter == letter && letter != 0)
}

/// The option of a name: letters of either case, and a beginning that is unique will do.
pub fn by_name(name: &[u8], complaints: &mut Vec<Complaint>) -> Option<&'static Spec> {
    let head = name.split(|octet| *octet == b'.').next().unwrap_or_default();
    if let Some(spec) = OPTIONS.iter().find(|spec| spec.name.as_bytes().eq_ignore_ascii_case(head))
    {
        return Some(spec);
    }
    let mut found = OPTIONS.iter().filter(|spec| {
        spec.name.as_bytes().get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head))
    });
    match (found.next(), found.next()) {
        (Some(spec), None) if !head.is_empty() => {
            let text = [b"Option ", name, b" used as abbreviation for ", spec.name.as_bytes()];
            complaints.push(Complaint::System(text.concat()));
            Some(spec)
        }
        (Some(_), Some(_)) if !head.is_empty() => {
            complaints.push(Complaint::System([b"readcf: ambiguous option name ", name].concat()));
            None
        }
        _ => {
            complaints.push(Complaint::System([b"readcf: unknown option name ", name].concat()));
            None
        }
    }
}
