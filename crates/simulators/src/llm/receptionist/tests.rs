//! Whole dialogues, against outputs as the clinic's tools and the conversation give them.
