// TrainerService
