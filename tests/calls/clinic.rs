//! The clinic that is called: open day and night, so that the tests pass on every day of the year.

use std::path::Path;

/// The clinic's id, and the name of its folder.
pub(crate) const TENANT: &str = "riverside";
/// The number that is dialled.
pub(crate) const NUMBER: &str = "+15550100";
/// The number of the front office, for callers who want a person.
pub(crate) const OFFICE: &str = "+15550188";
/// The first sentence of each call.
pub(crate) const GREETING: &str = "Riverside Clinic, good day. How can I help you?";

/// Writes the clinic's configuration below `tenants`. `away_s`: silence after which the caller is asked whether he is there;
/// `limits`: a table of its own, or nothing.
pub(crate) fn write(tenants: &Path, away_s: f64, limits: &str) {
    let folder = tenants.join(TENANT);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("tenant.toml"), tenant(away_s, limits)).expect("written");
    let prompt = Path::new(env!("CARGO_MANIFEST_DIR")).join("agent-config/demo/prompt.md");
    std::fs::copy(prompt, folder.join("prompt.md")).expect("the demo clinic's prompt is there");
}

fn tenant(away_s: f64, limits: &str) -> String {
    let days = r#"["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]"#;
    let practitioner = |id: &str, name: &str| {
        format!(
            "[[practitioners]]\nid = \"{id}\"\nname = \"{name}\"\nhours = [{{ days = {days}, opens = \"08:00\", closes = \"18:00\" }}]\n"
        )
    };
    format!(
        "id = \"{TENANT}\"\nname = \"Riverside Clinic\"\nzone = \"America/New_York\"\nlanguage = \"en-US\"\ncountry_calling_code = \"1\"\n\
         dialled_numbers = [\"{NUMBER}\"]\ngreeting = \"{GREETING}\"\nslot_minutes = 30\nlead_minutes = 60\n{limits}\
         [turn_taking]\nturn_detection = \"vad\"\nuser_away_timeout = {away_s:.1}\n\
         [recording]\nconsent = \"elsewhere\"\n\
         [notifications.csv]\non = [\"appointment_booked\", \"call_ended\"]\nfields = [\"code\"]\n{}{}\
         [[transfer_targets]]\nname = \"front office\"\nnumber = \"{OFFICE}\"\nwhen = \"the caller asks for a person\"\n\
         [[services]]\ncode = \"checkup\"\nname = \"check-up\"\nduration_minutes = 30\n",
        practitioner("dr-osei", "Doctor Ama Osei"),
        practitioner("dr-petrov", "Doctor Ivan Petrov"),
    )
}

/// Writes a trunk and a rule that dispatches to one worker alone.
pub(crate) fn write_rules(folder: &Path, agent: &str) {
    std::fs::create_dir_all(folder).expect("a folder");
    let rules = format!(
        "[[trunk]]\nid = \"ST_test\"\nname = \"This machine\"\nnumbers = [\"{NUMBER}\"]\nallowed_addresses = [\"127.0.0.0/8\"]\n\
         [[rule]]\nid = \"SDR_test\"\ntrunks = [\"ST_test\"]\nroom_prefix = \"{agent}\"\nagent_name = \"{agent}\"\n\
         attributes = {{ \"frontdesk.tenant\" = \"{TENANT}\" }}\n"
    );
    std::fs::write(folder.join("test.toml"), rules).expect("written");
}
