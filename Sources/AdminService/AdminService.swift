// AdminService
