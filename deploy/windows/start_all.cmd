@echo off
rem Double-click: brings up every service of sereno.toml and shows how they are. Again does no harm.
rem
rem   start_all.cmd [sereno.toml]             or drop a sereno.toml on it; else the one beside it
setlocal
chcp 65001 >nul 2>nul
set "FILE=%~1"
if not defined FILE set "FILE=%~dp0sereno.toml"
set "CTL=%~dp0ctl.exe"
if not exist "%CTL%" set "CTL=ctl.exe"
"%CTL%" --version >nul 2>nul
if errorlevel 1 (
    echo ctl.exe is neither beside this file nor in PATH: copy ctl.exe, supervisor.exe, health-monitor.exe and port-monitor.exe here.
    pause
    exit /b 1
)
"%CTL%" -f "%FILE%" up -d --wait
set "CODE=%ERRORLEVEL%"
echo.
"%CTL%" -f "%FILE%" status
echo.
pause
exit /b %CODE%
