// TrainerAPI
