"""What a person does in an editor that has dialogs: each action of its palette, as a conversation with the server."""
