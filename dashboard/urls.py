"""The dashboard's pages and its API."""

from django.urls import path

from dashboard import views
from dashboard.api import api

urlpatterns = [
    path("", views.show_overview, name="overview"),
    path("cost/", views.show_cost, name="cost"),
    path("cost/coming/", views.show_coming, name="coming"),
    path("experiments/", views.show_experiments, name="experiments"),
    path("experiments/<int:pk>/report/", views.show_report, name="test-report"),
    path("experiments/<int:pk>/switch/", views.switch_test, name="switch-test"),
    path("experiments/replay/<int:pk>/", views.show_replay, name="replay"),
    path("system/", views.show_system, name="system"),
    path("requests/", views.show_requests, name="requests"),
    path("requests/export.csv", views.export_requests, name="export"),
    path("requests/<str:request_id>/", views.show_request, name="request"),
    path("api/", api.urls),
]
