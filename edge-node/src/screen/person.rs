//! Names of people, as far as the words around them, or a first name that few other words share,
//! give them away.

/// One or more words of a name.
const NAME: &str = r"\p{Lu}[\p{Ll}']+(?:-\p{Lu}\p{Ll}+)?";

/// First names that are common and mean little else. Months, flowers and virtues are left out.
const FIRST_NAMES: &str = "James|John|Robert|Michael|William|David|Richard|Joseph|Thomas|Charles|\
Christopher|Daniel|Matthew|Anthony|Steven|Andrew|Kenneth|Joshua|Kevin|Brian|George|Timothy|Ronald|\
Edward|Jason|Jeffrey|Ryan|Jacob|Nicholas|Eric|Jonathan|Stephen|Larry|Justin|Benjamin|Samuel|\
Gregory|Alexander|Patrick|Frank|Raymond|Dennis|Tyler|Aaron|Henry|Peter|Adam|Nathan|Zachary|\
Walter|Kyle|Mary|Patricia|Jennifer|Linda|Elizabeth|Barbara|Susan|Jessica|Sarah|Karen|Lisa|Nancy|\
Margaret|Sandra|Ashley|Kimberly|Emily|Donna|Michelle|Carol|Amanda|Melissa|Deborah|Stephanie|\
Rebecca|Sharon|Laura|Cynthia|Kathleen|Amy|Angela|Shirley|Anna|Brenda|Pamela|Emma|Nicole|Helen|\
Samantha|Katherine|Christine|Rachel|Carolyn|Janet|Catherine|Maria|Heather|Diane|Olivia|Julie|\
Sophia|Sofia|Martha|Hannah|Anne|Jose|Juan|Carlos|Luis|Miguel|Antonio|Pedro|Javier|Fernando|Ana|\
Carmen|Isabel|Lucia|Pierre|Jean|Jacques|Marie|Claire|Camille|Hans|Klaus|Jürgen|Wolfgang|Stefan|\
Andreas|Matthias|Sebastian|Katharina|Ursula|Monika|Sabine|Giovanni|Giuseppe|Francesco|Marco|Luca|\
Giulia|Chiara|Mohammed|Muhammad|Ahmed|Ali|Hassan|Fatima|Aisha|Omar|Ibrahim|Wei|Ming|Hiroshi|\
Takashi|Yuki|Kenji|Priya|Rahul|Amit|Raj|Sanjay|Deepak|Ivan|Dmitri|Sergei|Vladimir|Olga|Natalia|\
Lars|Sven|Erik|Ingrid|Astrid";

/// The patterns; what is a name is the group, or everything.
pub(super) fn patterns() -> [String; 3] {
    let more = format!("(?: {NAME}){{0,2}}");
    [
        format!(r"(?-u:\b)(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Herr|Frau|Mme|Sr|Sra)\.? {NAME}{more}"),
        format!(
            r"(?i:my name is|my name's|i am called|name:|full name:|signed,|regards,|sincerely,)\s+({NAME}{more})"
        ),
        format!(r"(?-u:\b)(?:{FIRST_NAMES}) (?:\p{{Lu}}\. )?{NAME}"),
    ]
}
